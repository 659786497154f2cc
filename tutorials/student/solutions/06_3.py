def precision(caption, references):
    """BLEU's clipped precision of single words."""
    words = caption.split()
    clipped = 0
    for word in set(words):
        most = max(reference.split().count(word) for reference in references)
        clipped += min(words.count(word), most)
    return clipped / len(words)
