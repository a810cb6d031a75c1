"""Backbones, each in its own file. The file's name is the backbone's name in a recipe; its class `Backbone` is the backbone."""
