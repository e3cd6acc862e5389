"""Networks of features of healthy anatomy, and the weights of networks of others."""
