// Package agentd is the sandbox's EKS Pod Identity agents: one on loopback for each node
// that has one, answering GET /v1/credentials as the real agent does.
//
// An [Agent]'s answers come from EKS Auth, which in the sandbox is the AWS double, and are
// cached by the pod's token: renewed after three hours, and dropped when EKS Auth says
// that there is nothing to renew. So a pod that runs keeps its credentials for a while
// after its association or its role's trust has gone, and a new one gets none; that is
// the trap that migrations fall into. An agent refuses connections for a while after it
// was started, and a node may have none.
//
// A [Fleet] is the agents of a cluster: started and stopped by a test, or made to follow
// the cluster's agent pods ([Fleet.Follow]). All time is the sandbox's clock's. Sources
// are pkg/handlers, pkg/errors, internal/validation and internal/credsretriever of
// https://github.com/aws/eks-pod-identity-agent.
//
// It reads no environment, and connects to the endpoint it was given and no other. Only
// the sandbox and tests import it.
//
//	fleet := agentd.New(agentd.Options{Clock: clock, Cluster: "irsa-lab", Region: "eu-west-1", Endpoint: url, Credentials: node})
//	err := fleet.Start("ip-10-0-0-1.eu-west-1.compute.internal")
//	defer fleet.Close()
package agentd
