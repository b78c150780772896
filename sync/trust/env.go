package trust

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

const podIdentityService = "pods.eks.amazonaws.com"

// env is one request being judged: the request, and room for the values derived
// from it, so that judging allocates nothing in the steady state.
type env struct {
	r      Request
	chain  *ChainRequest     // set: the call is the second one of a chain, and r holds what both share
	counts *identity.Subject // whose lanyard Sids count under IgnoreOthers; nil: the request's own
	home   *identity.Cluster

	single  [1][]byte
	scratch []byte // a value
	subject []byte // the sub claim, once asked for
	arn     []byte // the cluster's ARN, once asked for
	pattern []byte // a pattern with its variables filled in
	own     ownHashes
}

var envs = sync.Pool{New: func() any { return new(env) }}

func newEnv(r Request) *env {
	e := envs.Get().(*env)
	e.r = r
	return e
}

func (e *env) free() {
	e.r, e.chain, e.counts, e.home = Request{}, nil, nil, nil
	e.subject, e.arn, e.own.ready = e.subject[:0], e.arn[:0], false
	if cap(e.scratch)+cap(e.pattern) < 1<<16 {
		envs.Put(e)
	}
}

func (e *env) one(v []byte) [][]byte {
	e.single[0] = v
	return e.single[:]
}

func (e *env) text(s string) (status, [][]byte) {
	e.scratch = append(e.scratch[:0], s...)
	return known, e.one(e.scratch)
}

func (e *env) textOrUnsure(s string) (status, [][]byte) {
	if s == "" {
		return unsure, nil
	}
	return e.text(s)
}

func (e *env) time(k key) (status, [][]byte) {
	if e.r.Now.IsZero() {
		return hidden, nil
	}
	if k == keyEpochTime {
		e.scratch = strconv.AppendInt(e.scratch[:0], e.r.Now.Unix(), 10)
	} else {
		e.scratch = e.r.Now.UTC().AppendFormat(e.scratch[:0], time.RFC3339)
	}
	return known, e.one(e.scratch)
}

func (e *env) sub() []byte {
	if len(e.subject) == 0 {
		b := append(e.subject, "system:serviceaccount:"...)
		b = append(append(b, e.r.Subject.Namespace...), ':')
		e.subject = append(b, e.r.Subject.ServiceAccount...)
	}
	return e.subject
}

func (e *env) clusterARN() []byte {
	if len(e.arn) == 0 {
		e.arn = appendARN(e.arn, &e.r.Cluster)
	}
	return e.arn
}

func appendARN(b []byte, c *identity.Cluster) []byte {
	b = append(append(append(b, "arn:"...), c.Partition...), ":eks:"...)
	b = append(append(append(b, c.Region...), ':'), c.Account...)
	return append(append(b, ":cluster/"...), c.Name...)
}

// issuer is the prefix of the token's condition keys: the provider's URL without
// its scheme. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
func (e *env) issuer() string {
	if e.r.Cluster.Issuer != "" {
		return e.r.Cluster.Issuer.HostPath()
	}
	return providerHostPath(e.r.Provider)
}

// roleAccount is the role's: that of the provider for IRSA (it stands beside the
// role), the cluster's for Pod Identity (EKS demands it).
func (e *env) roleAccount() string {
	if e.r.Mechanism != identity.IRSA {
		return e.r.Cluster.Account
	}
	rest := e.r.Provider
	for range 4 {
		_, after, ok := strings.Cut(rest, ":")
		if !ok {
			return e.r.Cluster.Account
		}
		rest = after
	}
	account, _, _ := strings.Cut(rest, ":")
	return account
}

// providerHostPath cuts "host/path" out of an IAM OIDC provider's ARN.
func providerHostPath(arn string) string {
	_, hostPath, _ := strings.Cut(arn, ":oidc-provider/")
	return hostPath
}
