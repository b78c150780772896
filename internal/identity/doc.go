// Package identity holds the words that every other room of lanyard shares:
// a ServiceAccount as a [Subject], a role as a [RoleARN], a [Cluster] with its
// OIDC [Issuer], the two [Mechanism]s by which EKS gives a pod a role, and the
// [Width] of a Pod Identity trust statement.
//
// It decides nothing and touches nothing. It imports the standard library only,
// and anyone may import it.
//
//	role, err := identity.ParseRoleARN("arn:aws:iam::123456789012:role/team/s3-reader")
//	// role.Account == "123456789012", role.Path == "/team/", role.Name == "s3-reader"
package identity
