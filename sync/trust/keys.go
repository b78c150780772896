package trust

import (
	"cmp"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// key is a condition key's place in the request context.
type key uint8

const (
	keyNone   key = iota // never in the context of either call: absent
	keyIssuer            // "<something>:sub" or "<something>:aud": known if that is the token's issuer
	keyUnsure            // a real call may carry it, or not, with a value nobody here knows
	keyHidden            // a real call does carry it, with a value nobody here knows
	keySourceAccount
	keySourceARN
	keySourceOrgID
	keySourceOrgPaths
	keyTagClusterARN
	keyTagClusterName
	keyTagNamespace
	keyTagServiceAccount
	keyTagPod // pod name and UID: sent, unknowable
	keyTagKeys
	keyTransitive
	keyResourceAccount
	keyResourceOrgID
	keyCurrentTime
	keyEpochTime
	keySecure
	keyIsService
	keyServiceName
	keyServiceNames

	// Of a call by an IAM role, which only the second call of a chain is.
	keyPrincipalARN
	keyPrincipalAccount
	keyPrincipalType
	keyUserID
	keyPrincipalOrgID
	keyPrincipalTag // keyRef.tag: which of the six session tags
	keyExternalID
	keyCaller // may be carried, or not, with a value nobody here knows
)

// The six session tags of EKS Pod Identity, in the order of the documentation.
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
var sessionTags = [...]string{
	"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace",
	"kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid",
}

// keys places the condition keys that a call to STS may carry. What is not here
// is absent: keys of other services, and of features that no call uses. Keys of
// signed-in principals (aws:PrincipalTag/..., aws:PrincipalOrgID,
// aws:MultiFactorAuthPresent) and sts:ExternalId belong to the second call of a
// chain: the other callers are an EKS service principal and a bearer of a token,
// neither of which has them.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
var keys = map[string]key{
	"aws:sourceaccount":  keySourceAccount,
	"aws:sourcearn":      keySourceARN,
	"aws:sourceorgid":    keySourceOrgID,
	"aws:sourceorgpaths": keySourceOrgPaths,

	"aws:requesttag/eks-cluster-arn":            keyTagClusterARN,
	"aws:requesttag/eks-cluster-name":           keyTagClusterName,
	"aws:requesttag/kubernetes-namespace":       keyTagNamespace,
	"aws:requesttag/kubernetes-service-account": keyTagServiceAccount,
	"aws:requesttag/kubernetes-pod-name":        keyTagPod,
	"aws:requesttag/kubernetes-pod-uid":         keyTagPod,

	"aws:tagkeys":           keyTagKeys,
	"sts:transitivetagkeys": keyTransitive,

	"aws:resourceaccount":  keyResourceAccount,
	"aws:resourceorgid":    keyResourceOrgID,
	"aws:resourceorgpaths": keyUnsure,

	"aws:currenttime":     keyCurrentTime,
	"aws:epochtime":       keyEpochTime,
	"aws:securetransport": keySecure,
	"aws:requestedregion": keyHidden,
	"aws:useragent":       keyUnsure,
	"aws:referer":         keyUnsure,
	"aws:viaawsservice":   keyUnsure,
	"sts:rolesessionname": keyHidden,

	"aws:sourceip":     keyUnsure,
	"aws:vpcsourceip":  keyUnsure,
	"aws:sourcevpc":    keyUnsure,
	"aws:sourcevpcarn": keyUnsure,
	"aws:sourcevpce":   keyUnsure,
	"aws:vpceaccount":  keyUnsure,
	"aws:vpceorgid":    keyUnsure,
	"aws:vpceorgpaths": keyUnsure,

	"aws:principalisawsservice":     keyIsService,
	"aws:principalservicename":      keyServiceName,
	"aws:principalservicenameslist": keyServiceNames,
	"aws:principalarn":              keyPrincipalARN,
	"aws:principaltype":             keyPrincipalType,
	"aws:principalaccount":          keyPrincipalAccount,
	"aws:userid":                    keyUserID,

	"aws:principalorgid":         keyPrincipalOrgID,
	"aws:principalorgpaths":      keyCaller,
	"aws:multifactorauthpresent": keyCaller,
	"aws:multifactorauthage":     keyCaller,
	"aws:tokenissuetime":         keyCaller,
	"aws:sourceidentity":         keyCaller,
	"sts:sourceidentity":         keyCaller,
	"aws:calledvia":              keyCaller,
	"aws:calledviafirst":         keyCaller,
	"aws:calledvialast":          keyCaller,
	"sts:externalid":             keyExternalID,
}

// keyRef is a condition key as a document names it. Names ignore case, values do
// not. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
type keyRef struct {
	name   string // as written
	folded string // lower case
	key    key
	issuer string // keyIssuer: the folded name before ":sub" or ":aud"
	aud    bool   // keyIssuer: ":aud"
	tag    key    // keyPrincipalTag: the key of the request tag of the same name; keyNone for others
}

func compileKey(name string) keyRef {
	k := keyRef{name: name, folded: lower(name)}
	if id, ok := keys[k.folded]; ok {
		k.key = id
		return k
	}
	if strings.HasPrefix(k.folded, "aws:resourcetag/") || strings.HasPrefix(k.folded, "iam:resourcetag/") {
		k.key = keyUnsure // the role's own tags; lanyard does not read them here
		return k
	}
	if tag, ok := strings.CutPrefix(k.folded, "aws:principaltag/"); ok {
		k.key, k.tag = keyPrincipalTag, keys["aws:requesttag/"+tag]
		return k
	}
	if issuer, ok := strings.CutSuffix(k.folded, ":sub"); ok {
		k.key, k.issuer = keyIssuer, issuer
	} else if issuer, ok := strings.CutSuffix(k.folded, ":aud"); ok {
		k.key, k.issuer, k.aud = keyIssuer, issuer, true
	}
	return k
}

// status says what is known of a key in a request.
type status uint8

const (
	absent status = iota // not in the context
	known                // in it, with the values given
	hidden               // in it, with values that lanyard cannot know
	unsure               // in it or not
)

var (
	literalTrue  = []byte("true")
	literalFalse = []byte("false")
	serviceName  = []byte(podIdentityService)
	tagKeyBytes  = func() (b [len(sessionTags)][]byte) {
		for i, t := range sessionTags {
			b[i] = []byte(t)
		}
		return b
	}()
)

// lookup finds a key in the context of the call. The values are good until the
// next lookup.
func (e *env) lookup(k *keyRef) (status, [][]byte) {
	switch k.key {
	case keyNone:
		return absent, nil
	case keyUnsure:
		return unsure, nil
	case keyHidden:
		return hidden, nil
	case keySecure: // STS answers over TLS only
		return known, e.one(literalTrue)
	case keyCurrentTime, keyEpochTime:
		return e.time(k.key)
	}
	if e.chain != nil {
		return e.chained(k)
	}
	switch k.key {
	case keyResourceAccount:
		return e.text(e.roleAccount())
	case keyPrincipalARN, keyPrincipalAccount, keyPrincipalType, keyUserID:
		return unsure, nil
	}
	if e.r.Mechanism == identity.IRSA {
		if issuer := e.issuer(); k.key == keyIssuer && issuer != "" && equalFold(k.issuer, issuer) {
			if k.aud {
				return e.text(e.r.Audience)
			}
			return known, e.one(e.sub())
		}
		if k.key == keyResourceOrgID {
			return unsure, nil
		}
		return absent, nil // the rest belongs to the other mechanism
	}
	return e.podIdentity(k)
}

// podIdentity finds the keys that only the EKS service principal's calls carry.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
func (e *env) podIdentity(k *keyRef) (status, [][]byte) {
	switch k.key {
	case keySourceAccount:
		return e.text(cmp.Or(e.r.SourceAccount, e.r.Cluster.Account))
	case keySourceARN:
		return e.textOrUnsure(e.r.SourceARN)
	case keySourceOrgID, keyResourceOrgID: // EKS demands that role and cluster share an account
		return e.textOrUnsure(e.r.OrgID)
	case keySourceOrgPaths:
		return unsure, nil
	case keyIsService:
		return known, e.one(literalTrue)
	case keyServiceName:
		return known, e.one(serviceName)
	case keyServiceNames:
		return hidden, nil
	}
	if k.key == keyTagKeys || k.key == keyTransitive {
		if e.r.SessionTags {
			return known, tagKeyBytes[:]
		}
		return absent, nil
	}
	return e.sessionTag(k.key)
}

// sessionTag finds one of the six session tags, if they are on.
func (e *env) sessionTag(k key) (status, [][]byte) {
	if !e.r.SessionTags {
		return absent, nil
	}
	switch k {
	case keyTagClusterARN:
		return known, e.one(e.clusterARN())
	case keyTagClusterName:
		return e.text(e.r.Cluster.Name)
	case keyTagNamespace:
		return e.text(e.r.Subject.Namespace)
	case keyTagServiceAccount:
		return e.text(e.r.Subject.ServiceAccount)
	case keyTagPod:
		return hidden, nil
	}
	return absent, nil
}
