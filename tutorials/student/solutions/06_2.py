START, END = 2, 3


def greedy(next_logits, length):
    """The most probable next token, again and again."""
    tokens = [START]
    for _ in range(length):
        token = int(np.argmax(next_logits(tokens)))
        if token == END:
            break
        tokens.append(token)
    return tokens[1:]
