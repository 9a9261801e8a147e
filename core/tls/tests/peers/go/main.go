// Talks with edgetrust-tls by Go's crypto/tls, in both roles: what comes is printed, what is read is sent.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
)

var (
	serve       = flag.Bool("serve", false, "be the server")
	address     = flag.String("connect", "", "the server to connect to")
	connections = flag.Int("connections", 1, "one after the other, with the sessions of those before")
	certificate = flag.String("cert", "", "the own chain")
	key         = flag.String("key", "", "the own key")
	root        = flag.String("root", "root.pem", "the anchor")
	name        = flag.String("name", "", "the server's name")
	protocols   = flag.String("alpn", "", "the protocols")
	groups      = flag.String("groups", "", "the groups: x25519, p256")
	maximum     = flag.Uint("max", tls.VersionTLS13, "the newest version")
	label       = flag.String("label", "", "the label of the exporter")
)

func config() *tls.Config {
	pem, err := os.ReadFile(*root)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatal("no certificate in ", *root)
	}
	config := &tls.Config{
		RootCAs: roots, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: *name, MaxVersion: uint16(*maximum), ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if *protocols != "" {
		config.NextProtos = strings.Split(*protocols, ",")
	}
	for _, group := range strings.FieldsFunc(*groups, func(r rune) bool { return r == ',' }) {
		config.CurvePreferences = append(config.CurvePreferences,
			map[string]tls.CurveID{"x25519": tls.X25519, "p256": tls.CurveP256}[group])
	}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

func talk(connection *tls.Conn, input *bufio.Reader) error {
	if err := connection.Handshake(); err != nil {
		return err
	}
	state := connection.ConnectionState()
	material, err := state.ExportKeyingMaterial(*label, []byte("context"), 32)
	if err != nil {
		return err
	}
	fmt.Printf("suite %s, protocol %q, name %q, resumed %t, retried %t, peer %s, exported %s\n",
		tls.CipherSuiteName(state.CipherSuite), state.NegotiatedProtocol, state.ServerName, state.DidResume,
		state.HelloRetryRequest, state.PeerCertificates[0].Subject.CommonName,
		strings.ToUpper(hex.EncodeToString(material)))
	go func() {
		// Nothing more is sent after a line of its own.
		for {
			line, err := input.ReadString('\n')
			if err != nil || line == "close\n" {
				connection.CloseWrite()
				return
			}
			if _, err := io.WriteString(connection, line); err != nil {
				return
			}
		}
	}()
	_, err = io.Copy(os.Stdout, connection)
	if err == nil {
		fmt.Println("closed by the peer")
	}
	return err
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	config, input := config(), bufio.NewReader(os.Stdin)
	var listener net.Listener
	if *serve {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			log.Fatal(err)
		}
	}
	for range *connections {
		var connection *tls.Conn
		if *serve {
			raw, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			connection = tls.Server(raw, config)
		} else {
			raw, err := net.Dial("tcp", *address)
			if err != nil {
				log.Fatal(err)
			}
			connection = tls.Client(raw, config)
		}
		if err := talk(connection, input); err != nil {
			fmt.Println("error:", err)
		}
		connection.Close()
	}
}
