def stopwatch(steps, rounds=9, warmup=3, clock=time.perf_counter):
    """Median milliseconds of every step, measured in turns."""
    for step in steps.values():
        for _ in range(warmup):
            step()
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            step()
            times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(taken)) for name, taken in times.items()}
