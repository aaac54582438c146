"""Typed calls to RoadRunner's plugins, over `rr_tcp.rpc`."""
