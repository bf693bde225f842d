"""The tests of inletspy; the folders mirror those of the package."""
