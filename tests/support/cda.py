"""CDA documents as hospitals write them."""

NUMBER = "110105196602150023"

CONSULTATION = f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <templateId root="2.16.156.10011.2.1.1.23"/>
 <code code="C0023" codeSystem="2.16.156.10011.2.4" displayName="首次病程记录"/>
 <title>首次病程记录</title>
 <effectiveTime value="20261121100000"/>
 <recordTarget><patientRole>
  <id root="2.16.156.10011.1.12" extension="H0001"/>
  <patient>
   <id root="2.16.156.10011.1.3" extension="{NUMBER}"/><name>唐玉兰</name><birthTime value="19660215"/>
  </patient>
  <id root="2.16.156.10011.1.3" extension="{NUMBER}"/>
 </patientRole></recordTarget>
 <author><assignedAuthor><assignedPerson><name>王慧敏</name></assignedPerson></assignedAuthor></author>
 <custodian><assignedCustodian><representedCustodianOrganization><name>示范医院</name></representedCustodianOrganization>
 </assignedCustodian></custodian>
 <component><structuredBody>
  <component><section><code code="10154-3" displayName="CHIEF COMPLAINT"/><title>主诉</title>
   <text><paragraph>胸闷 3 天</paragraph><list><item>无发热</item><item>无咳嗽</item></list>
    <table><tr><th>项目</th><th>结果</th></tr><tr><td>体温</td><td>36.5 ℃</td></tr></table></text>
   <entry><observation classCode="OBS" moodCode="EVN"><code code="DE04.10.186.00" displayName="体温"/>
    <value xsi:type="PQ" value="36.5" unit="℃"/></observation></entry>
  </section></component>
  <component><section><code code="11348-0" displayName="既往史"/><text/>
   <entry><observation classCode="OBS" moodCode="EVN"><code code="DE02.10.022.00" displayName="过敏史"/>
    <value xsi:type="ST">青霉素 &lt;皮试阳性&gt;</value></observation></entry>
   <entry><substanceAdministration><consumable><manufacturedProduct><manufacturedLabeledDrug>
     <code displayName="阿司匹林"/></manufacturedLabeledDrug></manufacturedProduct></consumable>
     <doseQuantity value="100" unit="mg"/></substanceAdministration></entry>
  </section></component>
 </structuredBody></component>
</ClinicalDocument>"""

LABORATORY = f"""<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <code code="11502-2" codeSystem="2.16.840.1.113883.6.1"/><title>检验报告</title><effectiveTime value="20261122083000+0800"/>
 <recordTarget><patientRole><id root="2.16.156.10011.1.3" extension="{NUMBER}"/></patientRole></recordTarget>
 <component><structuredBody><component><section><title>电解质</title><text>见下</text>
  <entry><organizer><component><observation>
   <code code="2823-3" codeSystem="2.16.840.1.113883.6.1" displayName="钾"/>
   <value xsi:type="PQ" value="6.80" unit="mmol/L"/><interpretationCode code="HH"/>
   <referenceRange><observationRange><value><low value="3.5"/><high value="5.3"/></value></observationRange></referenceRange>
  </observation></component></organizer></entry>
 </section></component></structuredBody></component>
</ClinicalDocument>"""
