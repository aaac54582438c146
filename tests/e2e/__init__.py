"""Black-box tests of a whole stack: sockets and the documented command line, nothing of our code imported."""
