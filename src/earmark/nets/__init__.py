"""Front end → backbone → head: the nets, without what trains or serves them."""
