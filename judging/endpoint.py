"""A judge behind an OpenAI-compatible endpoint: several requests at once, each tried again as the client does.

The client waits as the server says (Retry-After) or longer each time, after a refusal for the rate, an error of the
server's, a broken connection, and a time-out. What then is left is either about the server, and ends the stage
(TryAgain, ConfigError), or about one text, which has no judgement.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import openai

from conf.schema import EndpointJudge
from judging.judge import NO, YES, Answer, Messages
from store.errors import ConfigError, PipelineError, TryAgain
from store.thinking import without_thinking

KEY = "OPENAI_API_KEY"
WORD = re.compile(rf"\W*({YES}|{NO})\b", re.IGNORECASE)
BARE = " \t\n\"'`*.,:;!Ġ▁"  # around a token that is a word
NONSENSE_TRIES = 3  # of a text to which something came back that is no chat completion
DETAIL = 300  # characters of what a server says


class Endpoint:
    def __init__(self, settings: EndpointJudge) -> None:
        self._settings, self._key = settings, os.environ.get(KEY) or "none"
        if not re.fullmatch("[!-~]+", self._key):
            raise ConfigError(f"${KEY} has a space, a line break or a letter outside ASCII in it, as no key has")
        self._client = openai.OpenAI(
            base_url=settings.endpoint, api_key=self._key, timeout=settings.timeout, max_retries=settings.retries
        )
        self._threads = ThreadPoolExecutor(settings.concurrency)
        self._num_answered = 0

    def ask(self, prompts: Iterable[tuple[str, Messages]]) -> Iterator[list[Answer]]:
        """Keep so many requests running; after a failure take no more, and raise it once those have come back."""
        waiting, running, failure = iter(prompts), set[Future[Answer]](), None
        while True:
            for key, messages in islice(waiting, self._settings.concurrency - len(running)):
                running.add(self._threads.submit(self._answer, key, messages))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            answers = []
            for future in done:
                try:
                    answers.append(future.result())
                except PipelineError as error:
                    waiting, failure = iter(()), failure or error
            if answers:
                yield answers
        if failure:
            raise failure

    def close(self) -> None:
        """Drop what is running; nothing waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, key: str, messages: Messages) -> Answer:
        answered_before = self._num_answered
        try:
            for _ in range(NONSENSE_TRIES):
                if found := judgement(self._complete(messages)):
                    self._num_answered += 1
                    return Answer(key, *found)
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            if self._num_answered == answered_before:  # nor anything else, meanwhile
                raise TryAgain(f"{self._place} does not answer ({self._words(error)}). {AGAIN}") from None
            return Answer(key, math.nan, self._words(error))
        except openai.RateLimitError as error:
            raise TryAgain(
                f"{self._place} refuses for the rate, after {self._settings.retries} tries again "
                f"({self._words(error)}). {AGAIN}, with a smaller judge.concurrency"
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise ConfigError(
                f"{self._place} refuses ({self._words(error)}): is the key in ${KEY} its, and judge.model="
                f"{self._settings.model} a name that it serves? {AGAIN}"
            ) from None
        except openai.APIStatusError as error:  # about this request
            return Answer(key, math.nan, self._words(error))
        return Answer(key, math.nan, "no chat completion came back")

    def _complete(self, messages: Messages) -> Any:
        create: Any = self._client.chat.completions.create
        try:
            return create(model=self._settings.model, messages=messages, **self._settings.args)
        except (TypeError, ValueError) as error:
            if isinstance(error, TypeError) and "unexpected keyword" in str(error):
                raise ConfigError(f"judge.args: {error}: leave it out, in another run") from None
            return None  # no JSON

    @property
    def _place(self) -> str:
        return f"judge.endpoint={self._settings.endpoint}"

    def _words(self, error: openai.APIError) -> str:
        """Return what is said of an error, without the key."""
        return f"{type(error).__name__}: {error.message[:DETAIL]}".replace(self._key, "***")


AGAIN = "What was judged is kept: run the same command again to go on"


def judgement(completion: Any) -> tuple[float, str, int, int] | None:
    """Return the score, what was said, and the tokens of the prompt and of the answer; None for what is no chat
    completion. The score is NaN for an answer that begins with neither word."""
    try:
        choice, usage = completion.choices[0], completion.usage
        said = str(choice.message.content or "")
        prompt, answer = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        first = choice.logprobs.content[0] if choice.logprobs and choice.logprobs.content else None
        score = by_logprobs(first.token, [(each.token, each.logprob) for each in first.top_logprobs]) if first else None
        return by_word(said) if score is None else score, said[:DETAIL], int(prompt), int(answer)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def by_logprobs(first: str, likeliest: Sequence[tuple[str, float]]) -> float | None:
    """Return P(Yes) / (P(Yes) + P(No)) of the first token, over all spellings of the two among the likeliest ones; None
    where the first token is neither."""
    words = {YES.casefold(): 0.0, NO.casefold(): 0.0}
    if bare(first) not in words:
        return None
    for token, logprob in likeliest:
        if bare(token) in words:
            words[bare(token)] += math.exp(logprob)
    total = sum(words.values())
    return words[YES.casefold()] / total if total else None


def by_word(said: str) -> float:
    """Return 1 for an answer that begins with Yes, behind its thoughts, 0 for No, NaN for another."""
    found = WORD.match(without_thinking(said))
    return math.nan if found is None else float(found[1].casefold() == YES.casefold())


def bare(token: str) -> str:
    return token.strip(BARE).casefold()
