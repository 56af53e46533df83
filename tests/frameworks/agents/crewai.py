# /// script
# dependencies = [
#     "crewai>=1.15",
#     "openinference-instrumentation-crewai>=1.1",
#     "opentelemetry-instrumentation-genai-openai>=1.3b0",
# ]
# [tool.frameworks]
# title = "CrewAI"
# package = "crewai"
# note = """
# the task in its own words: the model is told it with words of CrewAI's around it. Model calls are
# told by an instrumentor of the provider's client only"""
# [tool.frameworks.handoff]
# tool = "delegate_work_to_coworker"
# mode = "delegate"
# [tool.frameworks.handoff.arguments]
# task = "Write the invoice"
# context = "EC 35, 58.5 CHF"
# coworker = "invoice_clerk"
# ///
"""A crew of two; the first may delegate to the second."""

import travel
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import otel_traj

otel_traj.instrument()

model = LLM(model=travel.MODEL)
clerk = Agent(
    role=travel.CLERK,
    goal=travel.CLERK_DESCRIPTION,
    backstory=travel.CLERK_INSTRUCTIONS,
    tools=[tool(travel.issue_invoice)],
    llm=model,
)
desk = Agent(
    role=travel.DESK,
    goal=travel.DESK_DESCRIPTION,
    backstory=travel.DESK_INSTRUCTIONS,
    tools=[tool(travel.find_train), tool(travel.get_forecast), tool(travel.book_seat)],
    allow_delegation=True,
    llm=model,
)
task = Task(description=travel.TASK, expected_output="What was done.", agent=desk)
print(Crew(agents=[desk, clerk], tasks=[task]).kickoff().raw)
