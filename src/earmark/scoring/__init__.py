"""The one place where sounds become scores: groups of like length, views, nets, ensembles."""
