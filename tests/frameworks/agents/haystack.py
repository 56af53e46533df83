# /// script
# dependencies = ["haystack-ai>=3.4", "openinference-instrumentation-haystack>=0.1.46"]
# [tool.frameworks]
# title = "Haystack"
# package = "haystack-ai"
# note = "agents have no names in pipelines"
# ///
"""A pipeline with an agent in it."""

import travel
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function

import otel_traj

otel_traj.instrument()

agent = Agent(
    chat_generator=OpenAIChatGenerator(model=travel.MODEL),
    system_prompt=travel.DESK_INSTRUCTIONS,
    tools=[
        create_tool_from_function(tool)
        for tool in (
            travel.find_train,
            travel.get_forecast,
            travel.book_seat,
            travel.issue_invoice,
        )
    ],
)
pipeline = Pipeline()
pipeline.add_component("travel_desk", agent)
result = pipeline.run({"travel_desk": {"messages": [ChatMessage.from_user(travel.TASK)]}})
print(result["travel_desk"]["last_message"].text)
