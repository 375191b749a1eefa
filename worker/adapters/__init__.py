"""The driven edges, one per port: each turns its library's calls and errors into those of the port."""
