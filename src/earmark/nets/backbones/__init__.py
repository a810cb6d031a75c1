"""One file a backbone; the file's name is the backbone's name in a recipe, and its `Backbone` class builds it."""
