"""The review page: a local server that plays doubtful clips and keeps what a person decides about them. No torch."""
