package main

// Reading requests and writing the answers that we give in the simulator's place. The simulator keeps its own encoder
// to itself; this is the same shape, namespaces included.

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

var vimTypes = types.TypeFunc()

// typeOf finds a vim25 type by its XML name; some clients put a namespace prefix before it.
func typeOf(name string) (reflect.Type, bool) {
	if kind, ok := vimTypes(name); ok {
		return kind, true
	}
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return vimTypes(name[i+1:])
	}
	return nil, false
}

func decode(body []byte) (*simulator.Method, error) {
	return simulator.UnmarshalBody(typeOf, body)
}

type envelope struct {
	XMLName xml.Name `xml:"soapenv:Envelope"`
	Enc     string   `xml:"xmlns:soapenc,attr"`
	Env     string   `xml:"xmlns:soapenv,attr"`
	XSD     string   `xml:"xmlns:xsd,attr"`
	XSI     string   `xml:"xmlns:xsi,attr"`
	Body    interface{}
}

// answer is one response element or one fault.
type answer struct {
	response interface{} // pointer to a types.…Response
	fault    types.BaseMethodFault
	message  string
}

func refuse(fault types.BaseMethodFault, message string) *answer {
	return &answer{fault: fault, message: message}
}

func respond(response interface{}) *answer {
	return &answer{response: response}
}

func (a *answer) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	body := xml.StartElement{Name: xml.Name{Local: "soapenv:Body"}}
	if err := e.EncodeToken(body); err != nil {
		return err
	}
	var err error
	if a.fault != nil {
		fault := soapFault{Code: "ServerFaultCode", String: a.message}
		fault.Detail.Fault = &faultDetail{a.fault}
		err = e.Encode(&fault)
	} else {
		name := reflect.TypeOf(a.response).Elem().Name()
		err = e.EncodeElement(a.response, xml.StartElement{Name: xml.Name{Space: "urn:vim25", Local: name}})
	}
	if err != nil {
		return err
	}
	return e.EncodeToken(body.End())
}

type soapFault struct {
	XMLName xml.Name `xml:"soapenv:Fault"`
	Code    string   `xml:"faultcode"`
	String  string   `xml:"faultstring"`
	Detail  struct {
		Fault *faultDetail
	} `xml:"detail"`
}

type faultDetail struct {
	fault types.BaseMethodFault
}

func (d *faultDetail) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	kind := reflect.TypeOf(d.fault).Elem().Name()
	start.Name.Local = kind + "Fault"
	start.Attr = append(start.Attr,
		xml.Attr{Name: xml.Name{Local: "xmlns"}, Value: "urn:vim25"},
		xml.Attr{Name: xml.Name{Local: "xsi:type"}, Value: kind},
	)
	return e.EncodeElement(d.fault, start)
}

func (a *answer) write(w http.ResponseWriter) {
	var out bytes.Buffer
	out.WriteString(xml.Header)
	err := xml.NewEncoder(&out).Encode(&envelope{
		Enc:  "http://schemas.xmlsoap.org/soap/encoding/",
		Env:  "http://schemas.xmlsoap.org/soap/envelope/",
		XSD:  "http://www.w3.org/2001/XMLSchema",
		XSI:  "http://www.w3.org/2001/XMLSchema-instance",
		Body: a,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if a.fault != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = w.Write(out.Bytes())
}

// copyOf is a deep copy by way of XML: the simulator shares device pointers between a template and its clones.
func copyOf(source interface{}, target interface{}) error {
	var out bytes.Buffer
	if err := xml.NewEncoder(&out).Encode(source); err != nil {
		return err
	}
	decoder := xml.NewDecoder(&out)
	decoder.TypeFunc = typeOf
	return decoder.Decode(target)
}

// vimFault takes the vSphere fault out of a Go error of the simulator.
func vimFault(err error) types.BaseMethodFault {
	if soap.IsSoapFault(err) {
		if fault, ok := soap.ToSoapFault(err).VimFault().(types.BaseMethodFault); ok {
			return fault
		}
		// The decoder hands out values, not pointers, for some faults.
		value := reflect.ValueOf(soap.ToSoapFault(err).VimFault())
		if value.IsValid() {
			pointer := reflect.New(value.Type())
			pointer.Elem().Set(value)
			if fault, ok := pointer.Interface().(types.BaseMethodFault); ok {
				return fault
			}
		}
	}
	return &types.SystemError{Reason: err.Error()}
}
