package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// maxPolicy bounds a file with one trust policy; IAM's largest has 4,096 characters.
const maxPolicy = 1 << 20

func newTrust(world World, talk *voice) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Judge and edit trust policies as AWS does",
		Long: `Judge and edit the trust policies of roles, for IRSA and EKS Pod Identity, without an
account or a cluster. The rules, and what lanyard does where AWS's documentation is silent,
are in docs/trust.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrustExplain(world), newTrustLint(world, talk), newTrustEval(world), newTrustEdit(world))
	return cmd
}

// policySource says where trust policies come from: a file, or a snapshot's roles.
type policySource struct{ policy, live string }

func (p *policySource) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.policy, "policy", "", "a trust policy: a `file`, or - for standard input")
	cmd.Flags().StringVar(&p.live, "live", "", "a snapshot `file` of lanyard snapshot, instead of --policy")
}

func (p *policySource) check() error {
	if (p.policy == "") == (p.live == "") {
		return errors.New("name a trust policy with --policy FILE, or a snapshot with --live FILE")
	}
	return nil
}

func (p *policySource) document(world World) (*trust.Document, error) {
	data, err := readBounded(world, p.policy, maxPolicy)
	if err != nil {
		return nil, err
	}
	doc, err := trust.Parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.policy, err)
	}
	return doc, nil
}

// question are the flags of one request.
type question struct {
	mechanism, namespace, serviceAccount string
	issuer, provider, audience           string
	clusterARN, sourceARN                string
	noTags                               bool
}

func newTrustExplain(world World) *cobra.Command {
	var (
		from         policySource
		q            question
		role, output string
	)
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say whether a ServiceAccount may assume a role, and why",
		Long: `Judge one request against one trust policy, and show the statement and the clause that
decided, or came closest. With --live the cluster's issuer, provider and ARN are the
snapshot's.

Exit code 0: allowed. 2: denied, undecidable or invalid. 1: no answer.`,
		Example: `  lanyard trust explain --policy trust.json --mechanism pod-identity \
    --namespace demo --service-account s3-reader \
    --cluster-arn arn:aws:eks:eu-central-1:123456789012:cluster/irsa-lab

  lanyard trust explain --live live.yaml --role arn:aws:iam::123456789012:role/reader \
    --mechanism irsa --namespace demo --service-account s3-reader`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc, r, err := q.ask(world, &from, role)
			if err != nil {
				return err
			}
			v := doc.Evaluate(r)
			if doc.Valid() != nil && from.live == "" {
				v.Decision = trust.Invalid
			}
			if err := printVerdict(world, doc, v, output); err != nil {
				return err
			}
			return differs(v.Decision != trust.Allow)
		},
	}
	from.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "with --live: the role's `ARN`")
	f.StringVar(&q.mechanism, "mechanism", "", "irsa or pod-identity")
	f.StringVar(&q.namespace, "namespace", "", "the pod's namespace")
	f.StringVar(&q.serviceAccount, "service-account", "", "the pod's ServiceAccount")
	f.StringVar(&q.clusterARN, "cluster-arn", "", "the cluster's `ARN`")
	f.StringVar(&q.issuer, "issuer", "", "IRSA: the cluster's issuer, a `URL` (default: that of --provider-arn)")
	f.StringVar(&q.provider, "provider-arn", "", "IRSA: `ARN` of the OIDC provider (default: that of --issuer in the cluster's account)")
	f.StringVar(&q.audience, "audience", "sts.amazonaws.com", "IRSA: the token's audience")
	f.StringVar(&q.sourceARN, "source-arn", "", "Pod Identity: aws:SourceArn, an `ARN` (default: unknown)")
	f.BoolVar(&q.noTags, "no-session-tags", false, "Pod Identity: the association has session tags off")
	format(cmd, &output, "text", "json")
	return cmd
}

// ask reads the document and builds the request.
func (q *question) ask(world World, from *policySource, role string) (*trust.Document, trust.Request, error) {
	if err := from.check(); err != nil {
		return nil, trust.Request{}, err
	}
	r := trust.Request{
		Subject:  identity.Subject{Namespace: q.namespace, ServiceAccount: q.serviceAccount},
		Provider: q.provider, Audience: q.audience, SourceARN: q.sourceARN, SessionTags: !q.noTags, Now: time.Now(),
	}
	if err := r.Mechanism.UnmarshalText([]byte(q.mechanism)); err != nil || r.Mechanism == identity.Auto {
		return nil, r, errors.New("--mechanism must be irsa or pod-identity")
	}
	if q.namespace == "" || q.serviceAccount == "" {
		return nil, r, errors.New("name the ServiceAccount with --namespace and --service-account")
	}
	if q.clusterARN != "" {
		var err error
		if r.Cluster, err = identity.ParseClusterARN(q.clusterARN); err != nil {
			return nil, r, fmt.Errorf("--cluster-arn: %w", err)
		}
	}
	r.Cluster.Issuer = identity.Issuer(q.issuer)
	var doc *trust.Document
	var err error
	if from.live != "" {
		doc, err = q.fromSnapshot(from.live, role, &r)
	} else {
		doc, err = from.document(world)
	}
	if err != nil {
		return nil, r, err
	}
	return doc, r, complete(&r)
}

func (q *question) fromSnapshot(file, role string, r *trust.Request) (*trust.Document, error) {
	snapshot, err := readSnapshot(file)
	if err != nil {
		return nil, err
	}
	arn, err := identity.ParseRoleARN(role)
	if err != nil {
		return nil, fmt.Errorf("--role: %w", err)
	}
	if q.clusterARN == "" {
		issuer := r.Cluster.Issuer
		if r.Cluster = snapshot.Cluster(); issuer != "" {
			r.Cluster.Issuer = issuer
		}
	}
	if r.Provider == "" && r.Cluster.Issuer != "" { // it stands beside the role
		r.Provider = r.Cluster.Issuer.ProviderARN(arn.Partition, arn.Account)
	}
	switch doc, presence, err := snapshot.Trust(arn); {
	case err != nil:
		return nil, fmt.Errorf("role %s: %w", arn, err)
	case presence == live.Unknown:
		return nil, fmt.Errorf("%s does not show the trust policy of %s: it was not read", file, arn)
	case presence != live.Present:
		return nil, fmt.Errorf("role %s is not in %s", arn, file)
	default:
		return doc, nil
	}
}

// complete derives what a request leaves open from the rest of it.
func complete(r *trust.Request) error {
	if r.Mechanism == identity.PodIdentity {
		if r.Cluster.Name == "" {
			return errors.New("name the cluster with --cluster-arn")
		}
		return nil
	}
	if r.Provider == "" {
		if r.Cluster.Issuer == "" || r.Cluster.Account == "" {
			return errors.New("name the OIDC provider with --provider-arn, or with --issuer and --cluster-arn")
		}
		r.Provider = r.Cluster.Issuer.ProviderARN(r.Cluster.Partition, r.Cluster.Account)
	}
	return nil
}

func printVerdict(world World, doc *trust.Document, v trust.Verdict, output string) error {
	var raw string
	if stmts := doc.Statements(); v.Statement >= 0 && v.Statement < len(stmts) {
		raw = string(stmts[v.Statement].Raw)
	}
	if output == "json" {
		return printJSON(world, struct {
			Decision  trust.Decision `json:"decision"`
			Cause     trust.Cause    `json:"cause,omitempty"`
			Statement int            `json:"statement"` // from 0; -1 is none
			Sid       string         `json:"sid,omitempty"`
			Reason    string         `json:"reason"`
			Text      string         `json:"text,omitempty"`
		}{v.Decision, v.Cause, v.Statement, v.Sid, v.Reason, raw})
	}
	head := v.Decision.String()
	if v.Cause != trust.NoCause {
		head += " (" + v.Cause.String() + ")"
	}
	_, err := fmt.Fprintf(world.Stdout, "%s\n%s\n", head, report.Printable(v.Reason))
	if err == nil && raw != "" {
		_, err = fmt.Fprintf(world.Stdout, "\nstatement %d:\n%s\n", v.Statement+1, raw)
	}
	return err
}
