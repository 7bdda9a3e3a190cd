"""A judge behind an endpoint, asked through real requests to a server that misbehaves."""

import math
import time

import pytest

from conf.schema import EndpointJudge
from judging.endpoint import Endpoint, by_logprobs, by_word
from store.errors import ConfigError, TryAgain
from tests.judging.server import fails, half, says, serving, slowly


def judge(server, **more) -> Endpoint:
    settings = {
        "kind": "endpoint", "model": "m", "prompt": [{"role": "user", "content": "{question} {text}"}],
        "args": {"temperature": 0, "max_tokens": 8}, "endpoint": server.url, "concurrency": 4, "timeout": 20.0,
        "retries": 2, "max_total_tokens": None, "table": None,
    }  # fmt: skip
    return Endpoint(EndpointJudge.model_validate(settings | more))


def ask(of: Endpoint, *texts: str) -> dict:
    found = {}
    for answers in of.ask((text, [{"role": "user", "content": text}]) for text in texts):
        found |= {answer.key: answer for answer in answers}
    of.close()
    return found


def test_what_is_asked_and_what_comes_back(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    with serving(lambda about, times: says("Yes" if about == "right" else "No.")) as server:
        found = ask(judge(server), "right", "wrong")
    assert {key: answer.score for key, answer in found.items()} == {"right": 1, "wrong": 0}
    assert (found["wrong"].said, found["wrong"].prompt_tokens, found["wrong"].completion_tokens) == ("No.", 10, 1)
    assert server.keys == {"Bearer sk-of-a-test"}
    [body] = [body for body in server.bodies if body["messages"] == [{"role": "user", "content": "right"}]]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 8)


@pytest.mark.parametrize(("first", "waited"), [
    (lambda: fails(429, retry_after="1"), 1),
    (lambda: fails(500), 0),
    (lambda: fails(503, retry_after_ms="20"), 0),
    (lambda: half(says("Yes")), 0),
    (lambda: slowly(1, says("No")), 0.3),
    (lambda: (200, {}, b"<html>"), 0),
    (lambda: (200, {}, b'{"choices": 3}'), 0),
    (lambda: (200, {"Content-Type": "text/html"}, b"sign in"), 0),
], ids=["429", "500", "503", "half a body", "slow", "no JSON", "another object", "a page"])  # fmt: skip
def test_a_request_that_goes_wrong_once_is_made_again(first, waited):
    started = time.monotonic()
    with serving(lambda about, times: says("Yes") if times else first()) as server:
        found = ask(judge(server, timeout=0.3), "text")
        assert found["text"].score == 1 and server.asked == ["text", "text"]
    assert time.monotonic() - started >= waited


@pytest.mark.parametrize(("answer", "requests", "said"), [
    (fails(400, "too long"), 1, "BadRequestError: "),
    ((200, {}, b"{}"), 3, "no chat completion came back"),
    (says("Perhaps"), 1, "Perhaps"),
], ids=["400", "nonsense", "neither word"])  # fmt: skip
def test_a_text_that_cannot_be_judged_has_no_score_and_stops_no_other(answer, requests, said):
    with serving(lambda about, times: answer if about == "bad" else says("Yes")) as server:
        found = ask(judge(server), "bad", "good")
    assert math.isnan(found["bad"].score) and said in found["bad"].said
    assert server.asked.count("bad") == requests and found["good"].score == 1


def test_a_text_that_breaks_the_server_each_time_stops_no_other():
    with serving(lambda about, times: fails(500, retry_after_ms="50") if about == "bad" else says("Yes")) as server:
        found = ask(judge(server), "bad", "good")
    assert math.isnan(found["bad"].score) and server.asked.count("bad") == 3 and found["good"].score == 1


@pytest.mark.parametrize(("answer", "error", "said"), [
    (fails(429, retry_after_ms="10"), TryAgain, "refuses for the rate, after 2 tries again"),
    (fails(500, retry_after_ms="10"), TryAgain, "does not answer"),
    (fails(401, "sk-of-a-test is no key"), ConfigError, "is the key in $OPENAI_API_KEY its"),
    (fails(404, "no such model"), ConfigError, "no such model"),
])  # fmt: skip
def test_a_server_that_serves_nobody_ends_the_stage_after_what_was_answered(answer, error, said, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    found = []
    with serving(lambda about, times: says("Yes") if about in ("0", "1", "2") else answer) as server:
        of = judge(server, concurrency=1)
        with pytest.raises(error) as raised:
            for answers in of.ask((str(n), [{"role": "user", "content": str(n)}]) for n in range(100)):
                found += answers
    assert said in str(raised.value) and "run the same command again" in str(raised.value)
    assert "sk-of-a-test" not in str(raised.value)
    assert [each.key for each in found] == ["0", "1", "2"] and len(server.asked) <= 6


def test_a_server_that_is_not_there_is_named():
    with serving(lambda about, times: says("Yes")) as server:
        of = judge(server, retries=0)
    with pytest.raises(TryAgain, match=rf"judge\.endpoint={server.url} does not answer"):
        ask(of, "text")


def test_so_many_requests_run_at_once_and_prompts_are_taken_as_there_is_room():
    with serving(lambda about, times: slowly(0.1, says("Yes"))) as server:
        of, taken, answered = judge(server, concurrency=3), [], 0

        def prompts():
            for n in range(12):
                taken.append(n)
                yield str(n), [{"role": "user", "content": str(n)}]

        for answers in of.ask(prompts()):
            answered += len(answers)
            assert len(taken) <= answered + 3
    assert answered == 12 and server.most == 3


def test_an_argument_that_the_client_does_not_know_is_named():
    with serving(lambda about, times: says("Yes")) as server, pytest.raises(ConfigError, match=r"judge\.args.*'words'"):
        ask(judge(server, args={"words": 3}), "text")


def test_probabilities_come_from_all_spellings_of_the_two_words():
    with serving(
        lambda about, times: says("Yes", {"Yes": math.log(0.5), " yes": math.log(0.1), "No": math.log(0.2)})
    ) as server:
        assert ask(judge(server), "text")["text"].score == pytest.approx(0.75)


@pytest.mark.parametrize(("first", "likeliest", "score"), [
    ("Yes", {"Yes": 0.9}, 1),
    ("No", {"No": 0.6, "Yes": 0.2, "Maybe": 0.1}, 0.25),
    ("**No", {"**No": 0.5, "Yes": 0.5}, 0.5),
    ("<think>", {"<think>": 0.9, "Yes": 0.1}, None),
    ("Yes", {}, None),
])  # fmt: skip
def test_scores_by_the_first_tokens(first, likeliest, score):
    found = by_logprobs(first, [(token, math.log(share)) for token, share in likeliest.items()])
    assert found == (None if score is None else pytest.approx(score))


@pytest.mark.parametrize(("said", "score"), [
    ("Yes", 1), (" **no**, since", 0), ("<think>No?</think>Yes.", 1), ("Nobody", None), ("", None), ("I say yes", None),
])  # fmt: skip
def test_scores_by_the_first_word(said, score):
    assert math.isnan(by_word(said)) if score is None else by_word(said) == score


@pytest.mark.parametrize("key", ["sk-1\r", "sk 1", "sk-ü"])
def test_a_key_that_no_header_can_have_is_refused(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(lambda about, times: says("Yes")) as server, pytest.raises(ConfigError, match="no key has") as refused:
        judge(server)
    assert key not in str(refused.value) and not server.asked
