// Asks @cloud-copilot/iam-simulate, an evaluator of other hands, what it makes of
// trust policies. Reads JSON lines {policy, calls: [{action, principal, context}]} on
// standard input; writes for each, in order, {invalid: [text], results: [text]} or
// {thrown}. It runs as a process of its own: the library is called, never copied.
import { createInterface } from 'node:readline'
import { validateTrustPolicy } from '@cloud-copilot/iam-policy'
import { runUnsafeSimulation } from '@cloud-copilot/iam-simulate'

const account = '123456789012'
const role = `arn:aws:iam::${account}:role/reader`

// Whatever the caller's own policies say is out of the question's scope: neither a
// service nor a web identity has any.
const rest = { identityPolicies: [], serviceControlPolicies: [], resourceControlPolicies: [] }

function judge({ policy, calls }) {
  let resourcePolicy
  try {
    resourcePolicy = JSON.parse(policy)
  } catch (e) {
    return { invalid: [String(e)], results: [] }
  }
  const invalid = validateTrustPolicy(resourcePolicy).map((e) => `${e.path}: ${e.message}`)
  if (invalid.length > 0) return { invalid, results: [] }
  const results = calls.map(({ action, principal, context }) =>
    runUnsafeSimulation(
      {
        ...rest,
        resourcePolicy,
        request: {
          action,
          principal,
          resource: { resource: role, accountId: account },
          contextVariables: context,
        },
      },
      {},
    ),
  )
  return { invalid, results }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = judge(JSON.parse(line))
  } catch (e) {
    answer = { invalid: [], results: [], thrown: String(e?.stack ?? e) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
