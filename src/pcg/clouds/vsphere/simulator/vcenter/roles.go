package main

// Calls about roles, permissions and privileges that the simulator answers untruly: it returns role id 0 for every new
// role, replaces all permissions of an object where vCenter replaces those of the named accounts, and says that
// everybody may do everything.

import (
	"github.com/vmware/govmomi/simulator"
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
		named[request.Permission[i].Principal] = true
		request.Permission[i].Entity = &request.Entity
	}
	for _, kept := range v.permissionsAt(request.Entity) {
		if !named[kept.Principal] {
			request.Permission = append(request.Permission, kept)
		}
	}
	v.authorization().SetEntityPermissions(request)
	return respond(&types.SetEntityPermissionsResponse{})
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

func (v *vcenter) hasUserPrivilegeOnEntities(request *types.HasUserPrivilegeOnEntities) *answer {
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
