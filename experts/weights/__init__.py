"""Safetensors in and out, with names, shapes and finite values checked.

checkpoint.py    a whole model's weights
weights_file.py  one file, read repeatedly into existing tensors
averaging.py     the mean of files
"""
