#!/bin/sh
# Writes live.yaml with 4,995 associations more: 5,000, as many as EKS allows in a cluster
# (https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html): the reason
# association-quota.
#
#	sh examples/reasons/full.sh > full.yaml
#	lanyard plan --path examples/reasons/fleet --live full.yaml blocked/association-quota
set -eu
exec awk '{ print }
/^associations:/ {
	for (i = 1; i <= 4995; i++)
		printf "  - { namespace: full, serviceAccount: app-%04d, described: false, id: a-full%010d, arn: \"arn:aws:eks:eu-west-1:123456789012:podidentityassociation/irsa-lab/a-full%010d\" }\n", i, i, i
}' "$(dirname "$0")/live.yaml"
