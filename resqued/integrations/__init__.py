"""The web front end inside other applications: Flask, Django; a module for each."""
