"""VL2V-ADiP: what a vision-language teacher knows, in an image classifier."""
