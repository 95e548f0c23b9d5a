// Package certificate keeps a node's certificate and its key, and reads them again when their files change.
//
// It must never know what is said over the connections that it secures.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// interval is how often the files are looked at, at most.
const interval = time.Second

// Pair is a certificate and its key in two files of PEM. It is safe for concurrent use and holds no goroutine: the files
// are looked at when a client connects.
type Pair struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu struct {
		sync.Mutex
		certificate *tls.Certificate
		stamps      [2]stamp
		looked      time.Time
	}
}

// stamp tells one state of a file from another. A link that is pointed elsewhere has another one, too.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads a pair. An error names the file that is wrong.
func Open(certFile, keyFile string, logger *slog.Logger) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, logger: logger}
	stamps, err := p.stamps()
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s and key %s: %w", certFile, keyFile, err)
	}
	p.mu.certificate, p.mu.stamps, p.mu.looked = &certificate, stamps, time.Now()
	return p, nil
}

// Config returns the configuration of a server that shows the pair and speaks the given protocols (ALPN). A connection
// with a method Show(*x509.Certificate) is told what is shown to its client. No session is resumed: its client would be shown
// nothing, and PostgreSQL resumes none either.
func (p *Pair) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate := p.current()
			if conn, ok := hello.Conn.(interface{ Show(*x509.Certificate) }); ok {
				conn.Show(certificate.Leaf)
			}
			return certificate, nil
		},
	}
}

// current returns the certificate, read again where a file has changed. One that cannot be read leaves the old one.
func (p *Pair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.mu.looked) < interval {
		return p.mu.certificate
	}
	p.mu.looked = now
	stamps, err := p.stamps()
	if err == nil && stamps == p.mu.stamps {
		return p.mu.certificate
	}
	var certificate tls.Certificate
	if err == nil {
		p.mu.stamps = stamps // a pair that is wrong is complained of once
		certificate, err = tls.LoadX509KeyPair(p.certFile, p.keyFile)
	}
	if err != nil {
		p.logger.Warn("changed certificate is not used: the old one stays", "cert", p.certFile, "key", p.keyFile, "error", err.Error())
		return p.mu.certificate
	}
	p.logger.Info("certificate was read again", "cert", p.certFile)
	p.mu.certificate = &certificate
	return p.mu.certificate
}

func (p *Pair) stamps() (stamps [2]stamp, err error) {
	for i, file := range [...]string{p.certFile, p.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, fmt.Errorf("look at certificate or key: %w", err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

// Roots reads the certificates of authorities from a file of PEM.
func Roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates of authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read certificates of authorities: %s holds none in PEM", file)
	}
	return roots, nil
}
