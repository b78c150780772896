package awsd

import (
	"encoding/json"
	"slices"
	"time"
)

// assumeRoleForPodIdentity is what the Pod Identity agent of a node calls with a pod's
// token. It finds the association by the token's subject.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html
func (s *Server) assumeRoleForPodIdentity(c *call) (any, *apiError) {
	var in struct{ Token string }
	if json.Unmarshal(c.body, &in) != nil || in.Token == "" {
		return nil, fail(400, "InvalidParameterException", "token must not be empty")
	}
	st, ok := s.clusters[clusterKey{c.Account, c.Region, c.path["clusterName"]}]
	if !ok {
		return nil, errNotFound("No cluster found for name: %s.", c.path["clusterName"])
	}
	claims, err := checkPodToken(c, st.Issuer, in.Token)
	if err != nil {
		return nil, err
	}
	ps, a, err := s.credentialsForPod(st, claims, c.now)
	if ps.name != "" { // It came as far as STS.
		s.trailPodIdentity(c, a, ps, err)
	}
	if err != nil {
		return nil, err
	}
	ses := s.newSession(ps.role, ps.name, ps.tags, ps.transitive, ps.life, c.now)
	return map[string]any{
		"subject":                map[string]string{"namespace": a.Namespace, "serviceAccount": a.ServiceAccount},
		"audience":               podIdentityService,
		"podIdentityAssociation": map[string]string{"associationArn": a.ARN(), "associationId": a.ID},
		"assumedRoleUser":        map[string]string{"arn": ses.arn, "assumeRoleId": ses.role.ID + ":" + ses.name},
		"credentials": map[string]any{
			"accessKeyId": ses.keyID, "secretAccessKey": ses.secret, "sessionToken": ses.token, "expiration": epoch(ses.expires),
		},
	}, nil
}

// checkPodToken checks a token as EKS Auth does, and returns its claims with the namespace
// and ServiceAccount that its subject names. The texts are those of the service's model;
// the reason is kept for people.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html
func checkPodToken(c *call, issuer, token string) (Claims, *apiError) {
	invalid := func(why string) *apiError {
		return &apiError{status: 400, code: "InvalidTokenException", message: "The specified Kubernetes service account token is invalid.", why: why}
	}
	claims, err := decodeToken(token)
	if err != nil {
		return claims, invalid(err.Error())
	}
	if claims.Issuer != issuer {
		return claims, invalid("its issuer is " + claims.Issuer + ", not the cluster's")
	}
	if c.keys.err != nil {
		return claims, &apiError{status: 503, code: "ServiceUnavailableException", message: "The service is unavailable. Back off and retry the operation.", why: c.keys.err.Error()}
	}
	if err := c.keys.verify(token); err != nil {
		return claims, invalid(err.Error())
	}
	of, ok := claims.serviceAccount()
	switch {
	case !c.now.Before(claims.Expires):
		return claims, fail(400, "ExpiredTokenException", "The specified Kubernetes service account token is expired.")
	case c.now.Before(claims.NotBefore):
		return claims, invalid("it is not good yet")
	case !slices.Contains(claims.Audience, podIdentityService):
		return claims, invalid("its audience is not " + podIdentityService)
	case !ok:
		return claims, invalid("its subject is not a ServiceAccount")
	}
	claims.Namespace, claims.ServiceAccount = of.namespace, of.serviceAccount
	return claims, nil
}

// credentialsForPod finds the association that EKS Auth sees by now and assumes its role.
func (s *Server) credentialsForPod(st *clusterState, claims Claims, now time.Time) (podSession, Association, *apiError) {
	of := subject{claims.Namespace, claims.ServiceAccount}
	a, ok := s.associationAt(st.ARN, of, s.consistency.AssociationCredentials)
	if !ok {
		return podSession{}, a, errNotFound("No pod identity association found for service account %s in namespace %s.", of.serviceAccount, of.namespace)
	}
	ps, refused := s.podIdentity(st, a, claims.PodName, claims.PodUID, now)
	if refused != nil {
		return ps, a, &apiError{status: 400, code: "AccessDeniedException", why: refused.Error(),
			message: "EKS does not have permissions to assume the associated role."}
	}
	return ps, a, nil
}
