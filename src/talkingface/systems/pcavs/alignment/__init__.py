"""From a picture to the face crop and back."""
