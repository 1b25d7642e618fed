package main

// Calls about roles, permissions and privileges that the simulator answers untruly: it returns role id 0 for every new
// role, replaces all permissions of an object where vCenter replaces those of the named accounts, does not show them in
// the object's property, and says that everybody may do everything.

import (
	"encoding/json"
	"net/http"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) addRole(request *types.AddAuthorizationRole) *answer {
	v.inventory.Lock()
	defer v.inventory.Unlock()
	manager := v.authorization()
	if fault := manager.AddAuthorizationRole(request).Fault(); fault != nil {
		return refuse(fault.Detail.Fault.(types.BaseMethodFault), fault.String)
	}
	added := manager.RoleList[len(manager.RoleList)-1]
	return respond(&types.AddAuthorizationRoleResponse{Returnval: added.RoleId})
}

func (v *vcenter) setPermissions(request *types.SetEntityPermissions) *answer {
	v.inventory.Lock()
	defer v.inventory.Unlock()
	if simulator.Map.Get(request.Entity) == nil {
		return refuse(&types.ManagedObjectNotFound{Obj: request.Entity}, "")
	}
	named := make(map[string]bool)
	for i := range request.Permission {
		named[plainAccount(request.Permission[i].Principal)] = true
		request.Permission[i].Entity = &request.Entity
	}
	for _, kept := range v.permissionsAt(request.Entity) {
		if !named[plainAccount(kept.Principal)] {
			request.Permission = append(request.Permission, kept)
		}
	}
	v.authorization().SetEntityPermissions(request)
	v.showPermissions(request.Entity)
	return respond(&types.SetEntityPermissionsResponse{})
}

func (v *vcenter) removePermission(request *types.RemoveEntityPermission) *answer {
	v.inventory.Lock()
	defer v.inventory.Unlock()
	if simulator.Map.Get(request.Entity) == nil {
		return refuse(&types.ManagedObjectNotFound{Obj: request.Entity}, "")
	}
	v.authorization().RemoveEntityPermission(request)
	v.showPermissions(request.Entity)
	return respond(&types.RemoveEntityPermissionResponse{})
}

// showPermissions makes the object's own property say what the authorization manager says of it, except where this
// vCenter shall be as VMware's own simulator is.
func (v *vcenter) showPermissions(object types.ManagedObjectReference) {
	shown := []types.Permission{}
	if v.privilegeAnswers() != answersAll {
		shown = v.permissionsAt(object)
	}
	entity := simulator.Map.Get(object)
	change := types.PropertyChange{Name: "permission", Val: shown}
	simulator.Map.WithLock(entity, func() { simulator.Map.Update(entity, []types.PropertyChange{change}) })
}

// hasPrivilegeOnEntities asks by session id; the simulator's session key is the cookie.
func (v *vcenter) hasPrivilegeOnEntities(request *types.HasPrivilegeOnEntities) *answer {
	v.mutex.Lock()
	user := v.sessions[request.SessionId]
	v.mutex.Unlock()
	return respond(&types.HasPrivilegeOnEntitiesResponse{
		Returnval: v.entityPrivileges(user, request.Entity, request.PrivId),
	})
}

// Ways in which this vCenter answers questions about an account's privileges: a real one's (truly), that of VMware's own
// simulator (everything granted, and no permission shown as an object's property), and those of vCenters that let the account ask one question or none.
const (
	answersTrue   = "true"
	answersAll    = "all"
	answersFetch  = "fetch"
	answersNobody = "nobody"
)

func (v *vcenter) postPrivilegeAnswers(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Answers string `json:"answers"`
	}
	known := map[string]bool{answersTrue: true, answersAll: true, answersFetch: true, answersNobody: true}
	if err := json.NewDecoder(r.Body).Decode(&wanted); r.Method != http.MethodPost || err != nil || !known[wanted.Answers] {
		http.Error(w, `POST {"answers": "true" | "all" | "fetch" | "nobody"}`, http.StatusBadRequest)
		return
	}
	v.mutex.Lock()
	v.answers = wanted.Answers
	v.mutex.Unlock()
	v.inventory.Lock()
	defer v.inventory.Unlock()
	for _, permission := range v.allPermissions() {
		v.showPermissions(*permission.Entity)
	}
	reply(w, wanted)
}

func (v *vcenter) allPermissions() []types.Permission {
	body := v.authorization().RetrieveAllPermissions(&types.RetrieveAllPermissions{})
	return body.(*methods.RetrieveAllPermissionsBody).Res.Returnval
}

func (v *vcenter) privilegeAnswers() string {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return v.answers
}

func (v *vcenter) mayNotAsk() *answer {
	missing := &types.NoPermission{Object: v.content.RootFolder, PrivilegeId: "Authorization.ModifyPermissions"}
	return refuse(missing, "Permission to perform this operation was denied.")
}

func (v *vcenter) hasUserPrivilegeOnEntities(request *types.HasUserPrivilegeOnEntities) *answer {
	switch v.privilegeAnswers() {
	case answersFetch, answersNobody:
		return v.mayNotAsk()
	case answersAll:
		return nil // as VMware's own simulator answers
	}
	return respond(&types.HasUserPrivilegeOnEntitiesResponse{
		Returnval: v.entityPrivileges(request.UserName, request.Entities, request.PrivId),
	})
}

func (v *vcenter) entityPrivileges(
	user string, entities []types.ManagedObjectReference, privileges []string,
) []types.EntityPrivilege {
	v.inventory.RLock()
	defer v.inventory.RUnlock()
	var result []types.EntityPrivilege
	for _, entity := range entities {
		granted := v.privilegesOn(user, entity)
		one := types.EntityPrivilege{Entity: entity}
		for _, id := range privileges {
			one.PrivAvailability = append(one.PrivAvailability,
				types.PrivilegeAvailability{PrivId: id, IsGranted: granted[id]})
		}
		result = append(result, one)
	}
	return result
}

func (v *vcenter) fetchUserPrivilegeOnEntities(request *types.FetchUserPrivilegeOnEntities) *answer {
	switch v.privilegeAnswers() {
	case answersNobody:
		return v.mayNotAsk()
	case answersAll:
		return nil
	}
	v.inventory.RLock()
	defer v.inventory.RUnlock()
	var result []types.UserPrivilegeResult
	for _, entity := range request.Entities {
		one := types.UserPrivilegeResult{Entity: entity}
		for id := range v.privilegesOn(request.UserName, entity) {
			one.Privileges = append(one.Privileges, id)
		}
		result = append(result, one)
	}
	return respond(&types.FetchUserPrivilegeOnEntitiesResponse{Returnval: result})
}
