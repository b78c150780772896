package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/rights"
)

// policyForms are what policy prints.
var policyForms = []string{"markdown", "iam", "iam-other-account", "rbac", "admission", "trust-pod-identity", "trust-irsa", "trust-other-account"}

func newPolicy(world World) *cobra.Command {
	var (
		place          rights.Place
		mode           = "observe"
		form           = "markdown"
		features, from []string
	)
	for _, f := range rights.Features() {
		from = append(from, "  "+f.Name+strings.Repeat(" ", 15-len(f.Name))+f.Why)
	}
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the AWS and Kubernetes permissions that lanyard needs",
		Long: `Print exactly what lanyard needs of AWS and of Kubernetes in a mode, and nothing more:
a test holds it equal to the calls that lanyard makes.

  iam                 the policy of lanyard's role
  trust-pod-identity  that role's trust policy where lanyard runs on EKS Pod Identity
  trust-irsa          the same where lanyard runs on IRSA
  rbac                ClusterRole, Role and their bindings
  admission           the ValidatingAdmissionPolicy that lets lanyard create pods as a
                      dry run only, and its binding; with identityProbe also the one that
                      lets it create no Job but its own
  markdown            all of it, with the reason of each
  iam-other-account, trust-other-account
                      of the role by which lanyard enters another account

Optional, each with permissions of its own (--feature):

` + strings.Join(from, "\n") + `

The configuration's other features need no rights of their own. What is not told with a
flag stands in capitals, to be replaced.`,
		Example: `  lanyard policy --mode repair --feature prune --account 123456789012 --region eu-west-1 \
    --cluster irsa-lab --role-pattern 'arn:aws:iam::123456789012:role/eks-irsa-lab-*' -o iam

  lanyard policy --mode observe -o rbac | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, r := range place.Roles {
				if !strings.HasPrefix(r, "arn:") || !strings.Contains(r, ":role/") {
					return fmt.Errorf("--role-pattern %s: write a role ARN, with * for any characters: arn:aws:iam::123456789012:role/eks-*", r)
				}
			}
			w, err := rights.For(mode, features, place)
			if err != nil {
				return err
			}
			for _, f := range w.Idle {
				fmt.Fprintf(world.Stderr, "lanyard policy: feature %s needs no rights of its own in mode %s\n", f, mode)
			}
			answer := map[string]func() string{
				"markdown": w.Markdown, "iam": w.IAM, "iam-other-account": w.IAMAway, "rbac": w.RBAC, "admission": w.Admission,
				"trust-pod-identity": w.TrustPodIdentity, "trust-irsa": w.TrustIRSA, "trust-other-account": w.TrustAway,
			}[form]()
			if answer == "" {
				return errors.New("no other account without --feature accounts")
			}
			_, err = fmt.Fprint(world.Stdout, answer)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&mode, "mode", mode, strings.Join(rights.Modes(), ", "))
	f.StringArrayVar(&features, "feature", nil, "`name` of an optional feature (repeatable)")
	f.VarP(&choice{&form, policyForms}, "output", "o", strings.Join(policyForms, ", "))
	f.StringVar(&place.Partition, "partition", "aws", "aws, aws-cn or aws-us-gov")
	f.StringVar(&place.Account, "account", "", "`ID` of the cluster's account")
	f.StringVar(&place.Region, "region", "", "AWS Region of the cluster")
	f.StringVar(&place.Cluster, "cluster", "", "`name` of the EKS cluster")
	f.StringArrayVar(&place.Roles, "role-pattern", nil, "`ARN` of roles that lanyard may write, with * (repeatable)")
	f.StringArrayVar(&place.AccountRoles, "account-role", nil, "`ARN` of the role by which lanyard enters another account (repeatable)")
	f.StringVar(&place.ExternalID, "external-id", "", "`ID` that goes with it")
	f.StringVar(&place.Issuer, "issuer", "", "the cluster's OIDC `issuer` without https://, for trust-irsa")
	f.StringVar(&place.Namespace, "namespace", "lanyard", "lanyard's own namespace")
	f.StringVar(&place.ServiceAccount, "service-account", "lanyard", "lanyard's own ServiceAccount")
	f.StringVar(&place.Lease, "lease-name", "lanyard", "name of lanyard's Lease")
	return cmd
}
