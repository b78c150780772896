package trust

import (
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// ChainRequest is the question that a Pod Identity association with a target role
// puts to the target's document. EKS assumes the association's role first; then,
// as that role, the target. The first call is a [Request].
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
type ChainRequest struct {
	Caller identity.RoleARN // the association's role, which makes the call
	Target identity.RoleARN // whose document it is, for aws:ResourceAccount; zero is unknown

	Subject identity.Subject // whose pod it is for
	Cluster identity.Cluster // where it runs

	SessionTags bool   // the caller's session has the six tags, all transitive
	ExternalID  string // the association's; "" is unknown. EKS makes it up when it creates the association
	OrgID       string // of the caller's account, for example "o-a1b2c3d4e5"; "" is unknown

	Now time.Time // aws:CurrentTime and aws:EpochTime; zero is unknown
}

// EvaluateChain judges the second call of a chain as AWS STS would: sts:AssumeRole
// by the caller's session and, with session tags on, sts:TagSession, since
// transitive tags go along into the new session.
//
// It judges the trust policy alone. The caller's own permission policies must
// allow both actions on the target as well, wherever the target is in another
// account or trusts the caller's whole account; they are not read here.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_role-chaining
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
func (d *Document) EvaluateChain(r ChainRequest) Verdict {
	if err := d.Valid(); err != nil {
		return Verdict{Decision: Undecidable, Cause: BadDocument, Statement: -1, Reason: err.Error()}
	}
	e := newEnv(Request{
		Mechanism: identity.PodIdentity, Subject: r.Subject, Cluster: r.Cluster,
		SessionTags: r.SessionTags, OrgID: r.OrgID, Now: r.Now,
	})
	defer e.free()
	e.chain = &r
	return d.judge(e)
}

// principal matches the caller, a session of a role: Principal names it by the
// role's ARN, by its account (the root ARN, or the number alone), or by the
// session's own ARN. The last is never certain, because EKS chooses the name.
//
// NotPrincipal spares only whom it names in all these ways at once ("AWS might
// validate the account first, then the role, and then the assumed-role user"), so
// that naming the caller in some way makes a Deny no more than possible.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
func (r *ChainRequest) principal(s *statement) tri {
	named := truth(s.who.everyone)
	if named == no {
		for _, p := range s.who.aws {
			named = max(named, r.named(p))
		}
	}
	switch {
	case !s.except:
		return named
	case s.who.everyone:
		return no
	case named == no:
		return yes
	}
	return maybe
}

func (r *ChainRequest) named(principal string) tri {
	c := &r.Caller
	switch principal {
	case c.Account, "arn:" + c.Partition + ":iam::" + c.Account + ":root", c.String():
		return yes
	}
	// A session's ARN has the role's name, but not its path.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
	if strings.HasPrefix(principal, "arn:"+c.Partition+":sts::"+c.Account+":assumed-role/"+c.Name+"/") {
		return maybe
	}
	return no
}

// chained finds the keys of the second call.
//
// The tags of the first session are inherited: they are the caller's
// aws:PrincipalTag, beside the role's own tags, which lanyard does not read. The
// EKS guide tests them in the target's trust policy as aws:RequestTag. That
// aws:TagKeys and sts:TransitiveTagKeys go with them is written nowhere.
//
// aws:SourceAccount and its like are set only where an AWS service calls as
// itself. Here EKS calls with the role's credentials.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func (e *env) chained(k *keyRef) (status, [][]byte) {
	r := e.chain
	switch k.key {
	case keyPrincipalARN: // "the ARN of the role", not of its session
		return e.text(r.Caller.String())
	case keyPrincipalAccount:
		return e.text(r.Caller.Account)
	case keyPrincipalType:
		return e.text("AssumedRole")
	case keyUserID:
		return hidden, nil
	case keyPrincipalOrgID:
		return e.textOrUnsure(r.OrgID)
	case keyResourceAccount:
		return e.textOrUnsure(r.Target.Account)
	case keyResourceOrgID:
		if r.Target.Account != r.Caller.Account {
			return unsure, nil
		}
		return e.textOrUnsure(r.OrgID)
	case keyIsService:
		return known, e.one(literalFalse)
	case keyExternalID:
		return e.externalID()
	case keyCaller:
		return unsure, nil
	case keyTagKeys, keyTransitive:
		if r.SessionTags {
			return unsure, nil
		}
		return absent, nil
	case keyPrincipalTag:
		if st, values := e.sessionTag(k.tag); st != absent {
			return st, values
		}
		return unsure, nil // perhaps a tag of the role
	}
	return e.sessionTag(k.key)
}

// externalID: "If you Disabled Session Tags in your EKS Pod Identity, EKS Pod
// Identity also sets the sts:ExternalId". Whether it does so with the tags on is
// not said.
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (e *env) externalID() (status, [][]byte) {
	switch {
	case e.chain.SessionTags:
		return unsure, nil
	case e.chain.ExternalID == "":
		return hidden, nil
	}
	return e.text(e.chain.ExternalID)
}
