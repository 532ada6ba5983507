"""Safetensors in and out, strictly: names, shapes, finite values.

checkpoint.py    a whole model's weights
weights_file.py  one file, read tensor by tensor into memory that is there already
"""
