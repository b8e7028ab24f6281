"""objects.py - dictionaries, lists, strings and JSON, as in a service: objects.py REQUESTS.

Run with PYTHONMALLOC=malloc every small object is a call of malloc.
"""

import json
import random
import sys


class Session:
    def __init__(self, number, text):
        self.number = number
        self.words = text.split()
        self.visits = {}


def request(source, sessions, number):
    text = " ".join(str(source.randrange(10**6)) for _ in range(20))
    session = Session(number, text)
    for word in session.words:
        session.visits[word] = session.visits.get(word, 0) + len(word)
    sessions[source.randrange(5000)] = session
    document = json.dumps({"number": number, "words": session.words, "visits": session.visits})
    return sum(json.loads(document)["visits"].values())


def main():
    source = random.Random(1)
    sessions = {}
    print(sum(request(source, sessions, number) for number in range(int(sys.argv[1]))))


main()
