names = list(COLOURS)


def called_same(predicted, drawn):
    """The share of "same" among the predictions, by the colours of the objects."""
    shares = np.full((len(names), len(names)), np.nan)
    pairs = [{names.index(item.colour) for item in each.objects} for each in drawn]
    for one in range(len(names)):
        for other in range(len(names)):
            chosen = [pair == {one, other} for pair in pairs]
            if any(chosen):
                shares[one, other] = np.mean(predicted[chosen])
    return shares
