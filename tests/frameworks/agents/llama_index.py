# /// script
# dependencies = [
#     "llama-index-core>=0.14",
#     "llama-index-llms-openai>=0.6",
#     "opentelemetry-instrumentation-genai-llama-index>=1.3b0",
#     "opentelemetry-instrumentation-genai-openai>=1.3b0",
# ]
# [tool.frameworks]
# title = "LlamaIndex, agent workflow"
# package = "llama-index-core"
# note = """token counts: LlamaIndex asks for streamed answers without usage"""
# [tool.frameworks.handoff]
# tool = "handoff"
# mode = "transfer"
# arguments = { to_agent = "invoice_clerk", reason = "EC 35, 58.5 CHF" }
# ///
"""Two agents in a workflow, one hands over to the other."""

import asyncio
import os

import travel
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.llms.openai import OpenAI

import otel_traj

otel_traj.instrument()

model = OpenAI(model=travel.MODEL, api_base=os.environ["OPENAI_BASE_URL"])
clerk = FunctionAgent(
    name=travel.CLERK,
    description=travel.CLERK_DESCRIPTION,
    system_prompt=travel.CLERK_INSTRUCTIONS,
    tools=[travel.issue_invoice],
    llm=model,
)
desk = FunctionAgent(
    name=travel.DESK,
    description=travel.DESK_DESCRIPTION,
    system_prompt=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, travel.book_seat],
    llm=model,
    can_handoff_to=[travel.CLERK],
)


async def main():
    workflow = AgentWorkflow(agents=[desk, clerk], root_agent=travel.DESK)
    print(await workflow.run(user_msg=travel.TASK))


asyncio.run(main())
