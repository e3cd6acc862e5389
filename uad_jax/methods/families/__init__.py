"""Parts that several methods share; not registered, imported by the methods' files."""
