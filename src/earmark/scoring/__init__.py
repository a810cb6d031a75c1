"""The only place where sounds become scores: views, groups of clips of similar length, nets, ensembles."""
