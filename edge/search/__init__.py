"""Search on the device: embeddings of samples go in, a sentence finds the moments that show it.

``index`` keeps the embeddings on disk, ``query`` and ``moments`` find, ``desk`` answers over MQTT.
"""
