package main

// Our own strong certificate: the simulator's built-in one is shared by everybody and signed with a weak key. It is kept
// in the state directory, so that a restart keeps the thumbprint that a person pinned.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const certificateFile = "vcenter.pem"
const keyFile = "vcenter.key"

func loadCertificate(state string, host string) (tls.Certificate, string, error) {
	certificatePath := filepath.Join(state, certificateFile)
	keyPath := filepath.Join(state, keyFile)
	pair, err := tls.LoadX509KeyPair(certificatePath, keyPath)
	if err == nil {
		leaf, perr := x509.ParseCertificate(pair.Certificate[0])
		// A certificate kept for another address would make every client complain about the wrong thing.
		if perr == nil && leaf.VerifyHostname(host) == nil {
			return pair, thumbprint(pair), nil
		}
	}
	if err := makeCertificate(certificatePath, keyPath, host); err != nil {
		return pair, "", err
	}
	pair, err = tls.LoadX509KeyPair(certificatePath, keyPath)
	if err != nil {
		return pair, "", err
	}
	return pair, thumbprint(pair), nil
}

func makeCertificate(certificatePath string, keyPath string, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "vcenter simulator", Organization: []string{"pcg"}},
		NotBefore:             time.Now().Add(-24 * time.Hour), // clocks differ a little
		NotAfter:              time.Now().AddDate(5, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // so that it can be given as its own CA file too
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.ParseIP("127.0.0.1")},
	}
	if address := net.ParseIP(host); address != nil {
		template.IPAddresses = append(template.IPAddresses, address)
	} else {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(keyPath, "EC PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	return writePEM(certificatePath, "CERTIFICATE", der, 0o644)
}

func writePEM(path string, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// thumbprint is SHA-256 over the certificate, in the notation that vCenter's page shows.
func thumbprint(pair tls.Certificate) string {
	sum := sha256.Sum256(pair.Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}
