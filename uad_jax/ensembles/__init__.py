"""Deep ensembles of runs that were trained one by one."""
