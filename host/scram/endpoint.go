package scram

import (
	"crypto"
	_ "crypto/sha256" // the hashes of endPointHashes
	_ "crypto/sha512"
	"crypto/x509"
)

// endPointHashes are the hashes of signatures; MD5 and SHA-1 are replaced by SHA-256.
var endPointHashes = map[x509.SignatureAlgorithm]crypto.Hash{
	x509.MD5WithRSA:       crypto.SHA256,
	x509.SHA1WithRSA:      crypto.SHA256,
	x509.ECDSAWithSHA1:    crypto.SHA256,
	x509.SHA256WithRSA:    crypto.SHA256,
	x509.SHA256WithRSAPSS: crypto.SHA256,
	x509.ECDSAWithSHA256:  crypto.SHA256,
	x509.SHA384WithRSA:    crypto.SHA384,
	x509.SHA384WithRSAPSS: crypto.SHA384,
	x509.ECDSAWithSHA384:  crypto.SHA384,
	x509.SHA512WithRSA:    crypto.SHA512,
	x509.SHA512WithRSAPSS: crypto.SHA512,
	x509.ECDSAWithSHA512:  crypto.SHA512,
}

// EndPoint returns the tls-server-end-point of a certificate (RFC 5929, section 4.1), nil where it has none: its signature
// has no hash of its own.
func EndPoint(certificate *x509.Certificate) []byte {
	hash := endPointHashes[certificate.SignatureAlgorithm]
	if hash == 0 {
		return nil
	}
	h := hash.New()
	h.Write(certificate.Raw)
	return h.Sum(nil)
}
