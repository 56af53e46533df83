"""A small coding agent, as you would write your own: OpenAI's SDK, tools, a sub-agent.

What otel-traj needs of it begins with `otel_traj.` in the code: one `instrument()` when the process
starts, a `trajectory()` round each attempt and each sub-agent, a `tool_call()` round each tool. The
calls to the model record themselves. Run as `python -m otel_traj.demo.agent`, it makes every
attempt of the demo and judges each by the repository's own tests, not by what the agent says.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Final, cast

from openai import OpenAI, OpenAIError
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)

import otel_traj
from otel_traj.demo.workspace import SPECIFICATIONS, ToolError, Workspace, specification
from otel_traj.model import Outcome

CODER_MODEL: Final = "demo-coder"
REVIEWER_MODEL: Final = "demo-reviewer"
MAX_TURNS: Final = 15

PROMPTS: Final = {
    "v1": "You repair small Python repositories with the tools you have. Never change the tests. "
    "Say what you did when you are done.",
    "v2": "You repair small Python repositories with the tools you have. Never change the tests. "
    "Read a file before you edit it. Run the tests before you say that you are done, then ask the "
    "reviewer.",
}
"""The versions of the instructions that the demo compares."""

REVIEWER_PROMPT: Final = "You review changes. Begin your answer with `Approved` or `Objection`."

MODULES: Final = ("slugs", "pricing", "durations")
"""Each task is to make the tests of one module pass."""

ASK_REVIEWER: Final = "ask_reviewer"
TOOLS: Final = cast(
    "list[ChatCompletionToolParam]",
    [
        *SPECIFICATIONS,
        specification(
            ASK_REVIEWER, "Ask a colleague to review your change.", question="What to look at."
        ),
    ],
)


class Reviewer:
    """The sub-agent: sees the change so far, has no tools, and remembers what it said before."""

    def __init__(self, client: OpenAI, workspace: Workspace) -> None:
        self.client = client
        self.workspace = workspace
        self.messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": REVIEWER_PROMPT}
        ]

    def ask(self, question: str) -> str:
        """Answer a question about the change; the answer is streamed."""
        change = f"{question}\n\n{self.workspace.diff()}"
        self.messages.append({"role": "user", "content": change})
        with otel_traj.trajectory(question, agent="reviewer") as run:
            stream = self.client.chat.completions.create(
                model=REVIEWER_MODEL,
                messages=self.messages,
                stream=True,
                stream_options={"include_usage": True},
            )
            deltas = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
            answer = "".join(delta for delta in deltas if delta)
            run.final_answer(answer)
        self.messages.append({"role": "assistant", "content": answer})
        return answer


class CodingAgent:
    """Asks the model and does what it says, until it asks for nothing more."""

    def __init__(self, client: OpenAI, workspace: Workspace, instructions: str) -> None:
        self.client = client
        self.workspace = workspace
        self.reviewer = Reviewer(client, workspace)
        self.messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": instructions}
        ]

    def work_on(self, task: str) -> str:
        """Work until the model has no more tool calls; return its last words."""
        self.messages.append({"role": "user", "content": task})
        for _ in range(MAX_TURNS):
            reply = self._ask_model()
            if not reply.tool_calls:
                return reply.content or ""
            for call in reply.tool_calls:
                if call.type == "function":  # no other kind is offered
                    self.messages.append(
                        {"role": "tool", "tool_call_id": call.id, "content": self._use(call)}
                    )
        return f"I am not done after {MAX_TURNS} turns."

    def _ask_model(self) -> ChatCompletionMessage:
        completion = self.client.chat.completions.create(
            model=CODER_MODEL, messages=self.messages, tools=TOOLS
        )
        reply = completion.choices[0].message
        said = reply.to_dict(exclude_none=True)
        self.messages.append(cast("ChatCompletionMessageParam", said))
        return reply

    def _use(self, call: ChatCompletionMessageFunctionToolCall) -> str:
        """Run a tool; what fails is an answer to the model too."""
        name, arguments = call.function.name, json.loads(call.function.arguments)
        try:
            with otel_traj.tool_call(name, arguments=arguments, call_id=call.id) as step:
                if name == ASK_REVIEWER:
                    text = self.reviewer.ask(**arguments)
                else:
                    done = self.workspace.use(name, arguments)
                    text = done.text
                    if done.edit is not None:
                        step.file_diff(*done.edit)
                    if done.test_pass_rate is not None:
                        step.test_pass_rate(done.test_pass_rate)
                step.result(text)
        except ToolError as error:
            return f"Error: {error}"
        return text


def attempt(client: OpenAI, module: str, prompt_version: str) -> str:
    """Let an agent make the tests of a module pass in a fresh checkout; say how it ended."""
    task = f"Repair {module}.py so that test_{module}.py passes."
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.checkout(Path(folder))
        agent = CodingAgent(client, workspace, PROMPTS[prompt_version])
        try:
            with otel_traj.trajectory(
                task, task_id=module, agent="coder", prompt_version=prompt_version
            ) as run:
                run.initial_state(workspace.files())
                run.final_answer(agent.work_on(task))
                pass_rate = workspace.run_tests(f"test_{module}.py").test_pass_rate or 0.0
                run.reward(pass_rate, source="unit-tests")
                outcome: Outcome = "success" if pass_rate == 1.0 else "failure"
                run.outcome(outcome)
        except OpenAIError as error:
            return f"error, {type(error).__name__}"
    return f"{outcome}, {pass_rate:.0%} of the tests pass"


def main() -> None:
    """Make every attempt, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m otel_traj.demo.agent")
    parser.add_argument("--store", required=True, help="folder of the trajectories")
    parser.add_argument("--model-url", required=True, help="address of the demo's model server")
    options = parser.parse_args()
    recording = otel_traj.instrument(options.store)
    for prompt_version in PROMPTS:
        for module in MODULES:
            # The path names the recording that the server answers from; a real model needs none.
            base_url = f"{options.model_url}/{module}-{prompt_version}/v1"
            with OpenAI(base_url=base_url, api_key="none is needed", max_retries=1) as client:
                ending = attempt(client, module, prompt_version)
            recording.flush()  # who reads the line below may stop us; the run is on disk then
            print(f"{module}, prompt {prompt_version}: {ending}", flush=True)  # noqa: T201
    recording.shutdown()


if __name__ == "__main__":
    main()
