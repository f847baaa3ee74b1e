# In a component there are no files to read it from.
PAGE = r"""{{page}}"""
