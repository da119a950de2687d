"""Searches on the device: keeps embeddings of samples, finds the moments that match a sentence.

``index`` keeps the embeddings on disk, ``query`` and ``moments`` find, ``desk`` answers over MQTT.
"""
