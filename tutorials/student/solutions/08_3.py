def verdict(results, mine, theirs):
    """What the seeds allow to say."""
    first, second = (
        np.array(results["mixers"][name]["test_accuracy"]["runs"])
        for name in (mine, theirs)
    )
    if min(len(first), len(second)) < 2:
        return "cannot tell"
    error = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    difference = first.mean() - second.mean()
    if abs(difference) <= 2 * error:
        return "cannot tell"
    return "better" if difference > 0 else "worse"
