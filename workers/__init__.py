"""Composition roots: each module builds one App out of services, settings and stores. Nothing else happens here."""
