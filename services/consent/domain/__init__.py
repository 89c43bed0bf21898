"""The rules of consent, pure: values in, values out; time is an argument; nothing is logged."""
