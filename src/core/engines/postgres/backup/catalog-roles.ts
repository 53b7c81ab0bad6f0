import type { Session } from '../session.ts';

/**
 * Roles that own something in this database or are granted something there: the ones that a
 * restore elsewhere needs. pg_shdepend knows all but the bootstrap superuser and the predefined
 * roles, whose part is read from the objects' own owners and ACLs. The predefined owner of "public"
 * and grants that every new database has are no finding.
 */
export async function readRoles(session: Session): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    `WITH here AS (SELECT oid, datdba, datacl FROM pg_database WHERE datname = current_database()),
     objects(owner, acl) AS (
       SELECT datdba, datacl FROM here
       UNION ALL SELECT nspowner, nspacl FROM pg_namespace WHERE oid >= 16384 OR nspname = 'public'
       UNION ALL SELECT relowner, relacl FROM pg_class WHERE oid >= 16384
       UNION ALL SELECT c.relowner, a.attacl FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                  WHERE c.oid >= 16384 AND a.attacl IS NOT NULL
       UNION ALL SELECT proowner, proacl FROM pg_proc WHERE oid >= 16384
       UNION ALL SELECT typowner, typacl FROM pg_type WHERE oid >= 16384
       UNION ALL SELECT lomowner, lomacl FROM pg_largeobject_metadata
       UNION ALL SELECT fdwowner, fdwacl FROM pg_foreign_data_wrapper WHERE oid >= 16384
       UNION ALL SELECT srvowner, srvacl FROM pg_foreign_server
       UNION ALL SELECT lanowner, lanacl FROM pg_language WHERE oid >= 16384
       UNION ALL SELECT defaclrole, defaclacl FROM pg_default_acl
       UNION ALL SELECT pubowner, NULL FROM pg_publication
       UNION ALL SELECT evtowner, NULL FROM pg_event_trigger
       UNION ALL SELECT collowner, NULL FROM pg_collation WHERE oid >= 16384
       UNION ALL SELECT cfgowner, NULL FROM pg_ts_config WHERE oid >= 16384
       UNION ALL SELECT oprowner, NULL FROM pg_operator WHERE oid >= 16384
       UNION ALL SELECT extowner, NULL FROM pg_extension WHERE oid >= 16384),
     known(role) AS (
       SELECT owner FROM objects
       UNION SELECT a.grantee FROM objects o CROSS JOIN aclexplode(o.acl) a WHERE a.grantee <> 0
       UNION SELECT s.refobjid FROM pg_shdepend s, here h
              WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r')
                AND (s.dbid = h.oid OR (s.classid = 'pg_database'::regclass AND s.objid = h.oid)))
     SELECT DISTINCT r.rolname AS name
       FROM known k JOIN pg_roles r ON r.oid = k.role
      WHERE r.rolname <> 'pg_database_owner'
      ORDER BY 1`,
  );
  return rows.map((row) => row.name);
}
