"""Files: image codecs, atomic writes, image paths, locks and downloads."""
