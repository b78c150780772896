package doctor

import (
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/sync/live"
)

// ID names a check. The list is closed and only ever grows.
type ID string

// The checks, in the order in which they are told: what lanyard was told, Kubernetes, AWS
// and Git.
const (
	IDConfiguration         ID = "configuration"
	IDFiles                 ID = "files"
	IDAPIServer             ID = "api-server"
	IDKubernetesClock       ID = "kubernetes-clock"
	IDIssuer                ID = "issuer"
	IDKubernetesPermissions ID = "kubernetes-permissions"
	IDKubernetesExcess      ID = "kubernetes-excess"
	IDNamespace             ID = "namespace"
	IDWebhook               ID = "webhook"
	IDAgent                 ID = "agent"
	IDAdmissionPolicy       ID = "admission-policy"
	IDAWSIdentity           ID = "aws-identity"
	IDAWSClock              ID = "aws-clock"
	IDAWSAccount            ID = "aws-account"
	IDCluster               ID = "cluster"
	IDOIDCProvider          ID = "oidc-provider"
	IDAWSPermissions        ID = "aws-permissions"
	IDOtherAccounts         ID = "other-accounts"
	IDSignatureKeys         ID = "signature-keys"
	IDGitSource             ID = "git-source"
	IDSignature             ID = "signature"
	IDRevision              ID = "revision"
)

// Area is what a check is about.
type Area string

// The areas, in order.
const (
	AreaConfiguration Area = "configuration"
	AreaKubernetes    Area = "kubernetes"
	AreaAWS           Area = "aws"
	AreaGit           Area = "git"
)

// rule is what is known of a check beforehand.
type rule struct {
	id    ID
	area  Area
	title string // what holds where it is good
}

var rules = []rule{
	{IDConfiguration, AreaConfiguration, "the operator's configuration can be read"},
	{IDFiles, AreaConfiguration, "the files that it and the flags name can be read"},
	{IDAPIServer, AreaKubernetes, "the API server answers, in a version that lanyard knows"},
	{IDKubernetesClock, AreaKubernetes, "this clock is the API server's"},
	{IDIssuer, AreaKubernetes, "the API server is that of the EKS cluster"},
	{IDKubernetesPermissions, AreaKubernetes, "every Kubernetes permission of the mode is there"},
	{IDKubernetesExcess, AreaKubernetes, "there are no Kubernetes permissions far beyond it"},
	{IDNamespace, AreaKubernetes, "lanyard's namespace is there"},
	{IDWebhook, AreaKubernetes, "EKS's webhook gives new pods their credentials"},
	{IDAgent, AreaKubernetes, "the Pod Identity agent is ready on every node"},
	{IDAdmissionPolicy, AreaKubernetes, "lanyard is kept from making real pods"},
	{IDAWSIdentity, AreaAWS, "AWS knows who this is"},
	{IDAWSClock, AreaAWS, "this clock is AWS's"},
	{IDAWSAccount, AreaAWS, "the account is the one that the configuration means"},
	{IDCluster, AreaAWS, "the EKS cluster is there and active"},
	{IDOIDCProvider, AreaAWS, "IAM trusts the cluster's issuer, for STS's audience"},
	{IDAWSPermissions, AreaAWS, "every AWS permission of the mode is there"},
	{IDOtherAccounts, AreaAWS, "the other accounts let lanyard in"},
	{IDSignatureKeys, AreaGit, "the keys that commits must be signed with are good"},
	{IDGitSource, AreaGit, "the repository and the ref can be read"},
	{IDSignature, AreaGit, "the head is signed as the configuration asks"},
	{IDRevision, AreaGit, "the head's documents are well formed"},
}

// Checks returns the closed list, in order.
func Checks() []ID {
	out := make([]ID, len(rules))
	for i, r := range rules {
		out[i] = r.id
	}
	return out
}

// Area returns what the check is about.
func (id ID) Area() Area { return id.rule().area }

// Title says in one clause what holds where the check is good.
func (id ID) Title() string { return id.rule().title }

func (id ID) order() int { return slices.IndexFunc(rules, func(r rule) bool { return r.id == id }) }

func (id ID) rule() rule {
	if i := id.order(); i >= 0 {
		return rules[i]
	}
	return rule{id: id}
}

// Result is how a check came out.
type Result string

// The results, the worst first.
const (
	Failed  Result = "failed"  // it is not as it must be
	Unknown Result = "unknown" // nobody answered, or not to this question
	Warning Result = "warning" // lanyard works, and somebody should look
	OK      Result = "ok"
	Skipped Result = "skipped" // it does not concern this set-up
)

// Results returns the closed list, the worst first.
func Results() []Result { return []Result{Failed, Unknown, Warning, OK, Skipped} }

// Check is one check that was made.
type Check struct {
	ID       ID       `json:"id"`
	Area     Area     `json:"area"`
	Title    string   `json:"title"`
	Result   Result   `json:"result"`
	Evidence []string `json:"evidence"`      // what was seen
	Fix      string   `json:"fix,omitempty"` // the next move; none where all is good

	blocked bool // nothing was asked: another check says why
}

func (id ID) check(r Result, evidence ...string) Check {
	return Check{ID: id, Area: id.Area(), Title: id.Title(), Result: r, Evidence: append([]string{}, evidence...)}
}

func (c Check) fix(format string, args ...any) Check {
	c.Fix = fmt.Sprintf(format, args...)
	return c
}

// Skip is a check that does not concern this set-up, and why.
func Skip(id ID, why string) Check { return id.check(Skipped, why) }

// Blocked is a check that was not made because another one came out badly.
func Blocked(id, by ID) Check {
	c := id.check(Unknown, "not asked: see "+string(by)).fix("mend %s first", by)
	c.blocked = true
	return c
}

// Silent is a check that had no answer when its time was over.
func Silent(id ID, waited string) Check {
	return id.check(Unknown, "no answer within "+waited).fix("%s", slow(id))
}

// slow says where to look if somebody does not answer.
func slow(id ID) string {
	switch id.Area() {
	case AreaKubernetes:
		return "see that the API server's name resolves from here and that a firewall, proxy or VPN lets port 443 through: kubectl get --raw /version"
	case AreaAWS:
		return "see that AWS's endpoints can be reached from here, by the internet or VPC endpoints for sts, eks and iam: aws sts get-caller-identity"
	case AreaGit:
		return "see that the Git host can be reached from here, and that a NetworkPolicy or proxy lets lanyard through"
	case AreaConfiguration:
	}
	return "see why the file system does not answer"
}

// Trouble is why a question has no answer. The zero value is none.
type Trouble struct {
	Reason  live.GapReason
	Message string
	Silent  bool // nobody answered in time
}

// Is reports whether there is trouble.
func (t Trouble) Is() bool { return t.Reason != "" }

// unknown is the check whose question has no answer. Whoever was refused needs the right
// to ask, whoever was throttled time.
func (t Trouble) unknown(id ID) Check {
	c := id.check(Unknown, t.Message)
	switch t.Reason {
	case live.GapRefused:
		if id.Area() == AreaKubernetes {
			return c.fix("let whoever runs this read it: check %s says which rule is missing", IDKubernetesPermissions)
		}
		return c.fix("let whoever runs this read it: check %s says which action is missing", IDAWSPermissions)
	case live.GapThrottled:
		return c.fix("ask again in some minutes")
	case live.GapUnconfigured, live.GapFailed, live.GapTruncated:
	}
	return c.fix("%s", slow(id))
}

// Fails reports whether somebody must act: something failed, or is not known.
func (r Result) Fails() bool { return r == Failed || r == Unknown }
